"""The data element that accompanies each image."""

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement


class DiffusionSample(BaseDataElement):
    """Inputs, metadata and prediction of one sample.

    Data fields, uint8 tensors (C, H, W), RGB where C is 3:

    - ``gt_img``: the ground truth;
    - ``condition``: the condition as it was read;
    - ``gt_edges``: every annotator's edges, 1 on an edge (A, H, W);
    - ``mask``: 1 where the image is to be generated, 0 where it is known (1, H, W);
    - ``pred_img``: the model's prediction;
    - ``pred_samples``: where it is the mean of several draws, these (K, C, H, W);
    - ``pred_std``: their standard deviation in grey levels (1, H, W), float32, the mean
      over the channels.

    Meta information: ``img_path``, ``img_id`` of COCO, ``name`` of a user's image,
    ``sample_idx`` (with the run's seed it decides the noise of sampling), ``seed`` (of
    everything random in training), ``ori_shape`` and ``target_shape``, the (H, W) of
    the prediction.
    """


def training_seeds(data_samples: Sequence[DiffusionSample]) -> list[int]:
    """The seed of each sample; drawn from torch's global state where it has none."""
    # Always drawn, so that the global state does not depend on the samples.
    drawn = torch.randint(2**62, (len(data_samples),)).tolist()
    return [sample.get('seed', d) for sample, d in zip(data_samples, drawn)]
