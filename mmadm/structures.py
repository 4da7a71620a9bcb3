"""The data element that travels beside the images."""

from mmengine.structures import BaseDataElement


class DiffusionSample(BaseDataElement):
    """What is known, asked and answered about one sample.

    Data fields, uint8 tensors (C, H, W), RGB where C is 3:

    - ``gt_img``: the truth;
    - ``condition``: the condition as it was read;
    - ``gt_edges``: every annotator's edges, 1 on an edge (A, H, W);
    - ``mask``: 1 where the image is to be generated, 0 where it is known (1, H, W);
    - ``pred_img``: the model's answer.

    Meta information: ``img_path``, ``img_id`` of COCO, ``name`` of a user's picture,
    ``sample_idx`` (with the seed it decides the noise), ``ori_shape`` and
    ``target_shape``, the (H, W) of the answer.
    """
