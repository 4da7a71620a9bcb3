"""Building blocks of :class:`RelationUNet`, the authors' conditional head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS

from .layers import attend

# Groups of each group normalisation, and heads of each relation layer.
GROUPS = 8


class StandardizedConv(nn.Conv2d):
    """3x3 convolution whose filters are standardised to mean 0 and variance 1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        return F.conv2d(x, self._filters(), self.bias, padding=1)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """An ordinary convolution with the same filters, for inference."""
        conv = nn.Conv2d(self.in_channels, self.out_channels, 3, padding=1)
        conv.weight.copy_(self._filters())
        conv.bias.copy_(self.bias)
        return conv.eval().requires_grad_(False)

    def _filters(self) -> Tensor:
        # One kernel; var_mean would take 40 % of the time of a head.
        return F.layer_norm(self.weight, self.weight.shape[1:], eps=1e-5)


class StandardizedBlock(nn.Module):
    """Two standardised convolutions with a shortcut; the time modulates the first.

    Args:
        in_channels: input width.
        out_channels: output width.
        embed_channels: width of the time embedding.
    """

    def __init__(
        self, in_channels: int, out_channels: int, embed_channels: int
    ) -> None:
        super().__init__()
        self.affine = nn.Linear(embed_channels, 2 * out_channels)
        self.conv0 = StandardizedConv(in_channels, out_channels)
        self.norm0 = nn.GroupNorm(GROUPS, out_channels)
        self.conv1 = StandardizedConv(out_channels, out_channels)
        self.norm1 = nn.GroupNorm(GROUPS, out_channels)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W) and (N, embed_channels) to (N, C', H, W)."""
        affine = self.affine(F.silu(embedding))[..., None, None]
        scale, shift = affine.chunk(2, dim=1)
        h = F.silu(self.norm0(self.conv0(x)) * (1 + scale) + shift)
        h = F.silu(self.norm1(self.conv1(h)))
        return self.shortcut(x) + h


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of each position; a gain, no bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        # Faster on CPUs than means and variances over dim 1, in both memory formats.
        x = F.layer_norm(x.movedim(1, -1), self.gain.shape, self.gain)
        return x.movedim(-1, 1)


class FullAttention(nn.Module):
    """Multi-head self-attention over all positions, with a residual connection.

    Args:
        channels: width.
        num_heads: attention heads.
        head_channels: width of one attention head.
    """

    def __init__(
        self, channels: int, num_heads: int = 4, head_channels: int = 32
    ) -> None:
        super().__init__()
        inner = num_heads * head_channels
        self.num_heads = num_heads
        self.norm = LayerNorm2d(channels)
        self.qkv = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        self.proj = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=1)
        return x + self.proj(attend(q, k, v, self.num_heads))


class LinearAttention(FullAttention):
    """Self-attention whose cost is linear in the number of positions.

    Keys and values are multiplied to one (head_channels x head_channels) matrix, by
    which each query is then multiplied.

    Args:
        channels: width.
        kwargs: as in :class:`FullAttention`.
    """

    def __init__(self, channels: int, **kwargs: int) -> None:
        super().__init__(channels, **kwargs)
        self.proj_norm = LayerNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        qkv = self.qkv(self.norm(x)).flatten(2)
        q, k, v = (
            part.unflatten(1, (self.num_heads, -1)) for part in qkv.chunk(3, dim=1)
        )  # (N, heads, head_channels, H*W)
        q = q.softmax(dim=2) * q.shape[2] ** -0.5
        gathered = v / v.shape[3] @ k.softmax(dim=3).mT
        out = (gathered @ q).flatten(1, 2).unflatten(2, x.shape[-2:])
        return x + self.proj_norm(self.proj(out))


@MODELS.register_module()
class FourierFilter(nn.Module):
    """A gate with a learned response per channel and frequency (DiffusionEdge).

    On maps of another size, the response to a frequency (in cycles per pixel) is
    interpolated linearly between the learned ones.

    Args:
        channels: width.
        size: (H, W) of the maps in training, (10, 10) for images of 320 x 320.
    """

    def __init__(self, channels: int, size: tuple[int, int] = (10, 10)) -> None:
        super().__init__()
        height, width = self.size = tuple(size)
        shape = (channels, height, width // 2 + 1, 2)
        self.response = nn.Parameter(0.02 * torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        size = tuple(x.shape[-2:])
        response = self.response if size == self.size else self._at(*size)
        # The Fourier transform does not support bfloat16.
        spectrum = torch.fft.rfft2(x.float(), norm='ortho')
        spectrum = spectrum * torch.view_as_complex(response.float().contiguous())
        return torch.fft.irfft2(spectrum, s=size, norm='ortho').to(x)

    def _at(self, height: int, width: int) -> Tensor:
        h, w = self.size
        like = dict(device=self.response.device, dtype=self.response.dtype)
        row = torch.fft.fftfreq(height, **like)[:, None] * h - torch.arange(h, **like)
        row = (row + h / 2) % h - h / 2
        column = (torch.fft.rfftfreq(width, **like) * w).clamp(max=w // 2)
        column = column[:, None] - torch.arange(w // 2 + 1, **like)
        rows, columns = (1 - row.abs()).relu(), (1 - column.abs()).relu()
        return torch.einsum('yh,xw,chwz->cyxz', rows, columns, self.response)


def position_embedding(
    channels: int, height: int, width: int, device: torch.device | None = None
) -> Tensor:
    """Sinusoidal embedding of row and column, counted from 1, (channels, H, W).

    The first half of the channels encodes the row, the second the column; each half
    holds pairs [sin, cos] of frequencies ``10000^(-4k / channels)``.
    """
    half = channels // 2
    frequencies = 10000 ** (-torch.arange(0, half, 2, device=device) / half)

    def embed(length: int) -> Tensor:
        place = torch.arange(1, length + 1, device=device)
        angle = place * frequencies[:, None]
        return torch.stack([angle.sin(), angle.cos()], dim=1).flatten(0, 1)

    rows = embed(height)[:, :, None].expand(-1, -1, width)
    columns = embed(width)[:, None, :].expand(-1, height, -1)
    return torch.cat([rows, columns])


class RelationLayer(nn.Module):
    """Cross-attention from the condition to the noisy features (Sec. V-A, Fig. 4).

    The queries are means over windows of the condition, the keys and values are means
    over windows of the features. The full resolution passes through a shortcut that
    joins condition and features.

    Args:
        condition_channels: width of the condition.
        feature_channels: width of the noisy features.
        channels: output width e, a multiple of 8 and of ``num_heads``.
        windows: side of the condition's windows and of the features' windows.
        num_heads: attention heads.
        dropout: fraction of activations dropped in the MLP.
    """

    def __init__(
        self,
        condition_channels: int,
        feature_channels: int,
        channels: int,
        windows: tuple[int, int],
        num_heads: int = GROUPS,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if channels % num_heads or channels % GROUPS:
            raise ValueError(
                f'A relation layer of {channels} channels cannot be split into '
                f'{num_heads} heads and {GROUPS} groups. Choose a width that is a '
                'multiple of both.'
            )
        self.windows = windows
        self.num_heads = num_heads
        self.condition = _conv_norm(condition_channels, channels)
        self.features = _conv_norm(feature_channels, channels)
        self.join = nn.Conv2d(2 * channels, channels, 1)
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(2 * channels, channels, 1),
            nn.Dropout(dropout),
        )
        self.proj = nn.Conv2d(channels, channels, 1)
        self.apply(_init_relation)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C', H', W') to (N, e, H, W)."""
        condition, features = self.condition(condition), self.features(features)
        size = features.shape[-2:]
        joined = self.join(torch.cat([_resize(condition, size), features], dim=1))
        shortcut = self.norm(features + joined)

        queries = _window_means(condition, self.windows[0])
        keys = _window_means(features, self.windows[1])
        x = queries + self._attend(queries, keys)
        x = x + self.mlp(x)
        return shortcut + self.proj(_resize(x, size))

    def _attend(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attention without the usual scale."""
        q, kv = (
            (m + position_embedding(*m.shape[1:], m.device).to(m)).flatten(2).mT
            for m in (queries, keys)
        )
        q, k, v = (
            y.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for y in (self.query(q), self.key(kv), self.value(kv))
        )
        out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        return out.transpose(2, 3).flatten(1, 2).view_as(queries)


def _conv_norm(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1),
        nn.BatchNorm2d(out_channels, momentum=0.03, eps=1e-3),
    )


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, with corner pixels at the corners."""
    return F.interpolate(x, size, mode='bilinear', align_corners=True)


def _window_means(x: Tensor, side: int) -> Tensor:
    """Means over windows; beyond the right and lower border there are zeros."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % side, 0, -height % side))
    return F.avg_pool2d(x, side)


def _init_relation(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        nn.init.zeros_(module.bias)
