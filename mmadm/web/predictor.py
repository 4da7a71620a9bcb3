"""Runs models for several visitors at the same time."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np

from .drawings import Drawing, draw_input, read_drawing

#: Name of the threads that sample.
THREAD = 'mmadm-request'
#: Samples of one request.
MAX_SAMPLES = 16

_SECONDS = 0.2  # between two looks whether the visitor still waits


class Request(NamedTuple):
    """What a visitor sends: of any type, checked where it is used.

    Empty numbers and names are those of the config. ``drawing`` is for inpainting,
    ``image``, a file, for all other models that need one.
    """

    model: str
    image: str | None = None
    drawing: Drawing | None = None
    num_steps: float | None = None
    seed: float | None = None
    sampler: str | None = None
    num_samples: float | None = None
    mode: str | None = None


@dataclass(frozen=True)
class Update:
    """State of a request while it is sampled.

    Args:
        done: network evaluations until now.
        total: all network evaluations.
        estimate: image estimate of the latest step, (H, W, 3) or (H, W), uint8.
    """

    done: int
    total: int
    estimate: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    """All that a request gives; images are (H, W, 3) or (H, W), uint8.

    Args:
        predictions: one, or the images of an unconditional model.
        before: the input at the size of the prediction; None if unconditional.
        samples: of which the prediction is the mean; empty if it is one sample.
        std: their standard deviation, (H, W), in grey levels.
        trajectory: figure of the sampling trajectory, where the model has one.
    """

    predictions: list[np.ndarray]
    before: np.ndarray | None
    samples: list[np.ndarray]
    std: np.ndarray | None
    trajectory: np.ndarray | None


class Turns:
    """A lock that is given to its threads in the order in which they wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The thread that has the lock, and those that wait for it.
        self._queue: deque[threading.Event] = deque()

    @property
    def waiting(self) -> int:
        """Number of threads that wait."""
        return max(0, len(self._queue) - 1)

    def __enter__(self) -> None:
        turn = threading.Event()
        with self._lock:
            self._queue.append(turn)
            if len(self._queue) == 1:
                turn.set()
        turn.wait()

    def __exit__(self, *_) -> None:
        with self._lock:
            self._queue.popleft()
            if self._queue:
                self._queue[0].set()


class Predictor:
    """Runs models for several visitors at the same time.

    Each request has a copy of its model, with the same weights and options of its own.
    One network evaluation runs at a time, in the order of the visitors: each waits for
    one evaluation of each other visitor, and the memory is that of one evaluation.

    Args:
        inferencers: :class:`mmadm.apis.ADMInferencer` by the name that visitors see.
        max_pixels: largest image, input or prediction.
    """

    def __init__(self, inferencers: Mapping, max_pixels: int) -> None:
        self.inferencers, self.max_pixels = inferencers, max_pixels
        self.turns = Turns()

    def __call__(self, request: Request, folder: str | Path, **watch) -> Result:
        """Run a request.

        Args:
            request: the request.
            folder: an empty folder, for files.
            watch: ``callback``, ``progress`` and ``should_stop`` of the inferencer.

        Raises:
            ValueError: a value of the request is wrong.
            SamplingStoppedError: ``should_stop`` returned True.
        """
        inferencer = self._inferencer(request.model)
        sampler = _name('sampler', request.sampler)
        mode = _name('mode', request.mode)
        shows_steps = mode or inferencer.model.sampling_mode.has_trajectory
        if not shows_steps:
            watch.pop('callback', None)
        inputs, image, hole = {}, None, None
        if inferencer.is_conditional:
            drawing = request.drawing
            if not inferencer.takes_masks:
                drawing = dict(background=request.image, layers=[])
            image, hole = read_drawing(drawing, folder)
            inputs = dict(inputs=image, masks=hole, max_pixels=self.max_pixels)
        results = inferencer(
            **inputs,
            num_steps=_integer(request.num_steps),
            seed=_integer(request.seed),
            sampler=sampler,
            num_samples=_number_of_samples(request.num_samples),
            mode=mode,
            trajectory=bool(shows_steps),
            **watch,
        )
        predictions = results['predictions']
        size = predictions[0].shape[:2]
        return Result(
            predictions=predictions,
            before=None if image is None else draw_input(image, hole, size),
            samples=[*results.get('samples', [()])[0]],
            std=results.get('std', [None])[0],
            trajectory=results.get('trajectory', [None])[0],
        )

    def _inferencer(self, name: str):
        """A copy of an inferencer that shares the weights, and waits for its turn."""
        if not isinstance(name, str) or name not in self.inferencers:
            raise ValueError(
                f'Unknown model: {name!r}. Choose one of {list(self.inferencers)}.'
            )
        inferencer = copy(self.inferencers[name])
        model = inferencer.model
        weights = [*model.parameters(), *model.buffers()]
        model = inferencer.model = deepcopy(model, {id(x): x for x in weights})
        for network in filter(None, (model.condition_encoder, model.head)):
            network.forward = self._in_turn(network.forward)
        return inferencer

    def _in_turn(self, forward: Callable) -> Callable:
        def wait_and_run(*args, **kwargs):
            with self.turns:
                return forward(*args, **kwargs)

        return wait_and_run


def _integer(value: float | None) -> float | None:
    """5 for 5.0, which browsers may send; the inferencer checks all other values."""
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


def _name(key: str, value: str | None) -> str | None:
    """A name, which the inferencer checks; None where it is empty."""
    if value is not None and not isinstance(value, str):
        raise ValueError(
            f'{key} must be a name, but got {key}={value!r}. Leave it out for that of '
            'the model.'
        )
    return value or None


def _number_of_samples(value: float | None) -> float | None:
    """Refuses numbers that would keep the server busy for hours."""
    number = _integer(value)
    if isinstance(number, int) and number > MAX_SAMPLES:
        raise ValueError(
            f'Too many samples: the page makes at most {MAX_SAMPLES} at a time, but '
            f'got num_samples={number}. Give a smaller number.'
        )
    return number


def stream(
    predict: Callable[..., Result], request: Request, folder: str | Path
) -> Iterator[Update | Result | None]:
    """Updates of a request, and its result at the end.

    Sampling stops when the iterator is closed. To notice that, it yields None from time
    to time.

    Args:
        predict: a :class:`Predictor`.
        request: its request.
        folder: an empty folder, for files.
    """
    stop, updates = threading.Event(), SimpleQueue()
    latest = Update(0, 1)

    def put(**changes) -> None:
        nonlocal latest
        latest = Update(**{**vars(latest), 'estimate': None, **changes})
        updates.put(latest)

    watch = dict(
        callback=lambda step, t, x_t, x0: put(estimate=x0),
        progress=lambda done, total: put(done=done, total=total),
        should_stop=stop.is_set,
    )
    with ThreadPoolExecutor(1, THREAD) as pool:
        future = pool.submit(predict, request, folder, **watch)
        future.add_done_callback(lambda _: updates.put(None))
        try:
            while not (future.done() and updates.empty()):
                try:
                    yield updates.get(timeout=_SECONDS)
                except Empty:
                    yield None
        finally:
            stop.set()
    yield future.result()
