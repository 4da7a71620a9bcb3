# Fine-tuning of adm_edge_small on 50 pairs: cracks, drawn by
# tools/dataset_converters/drawn_cracks.py (Table I, "Edge Detection", other data).
from mmengine.config import read_base

with read_base():
    from .adm_edge_small import *
    from ..._base_.datasets.image_pairs import *

from mmadm.evaluation import SaliencyMetric

train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
train_dataloader.dataset.data_root = 'data/drawn_cracks/train'
train_dataloader.dataset.pipeline[0].update(cache=True)
train_dataloader.dataset.pipeline[1].update(size=160)
val_dataloader.dataset.data_root = 'data/drawn_cracks/test'
test_dataloader.dataset.data_root = 'data/drawn_cracks/test'
val_evaluator = test_evaluator = dict(type=SaliencyMetric, measures=('mae', 'f'))

# The encoder's weights come with the model; ImageNet's are not read.
load_from = 'adm_edge_small'
model.condition_encoder.weights = None
train_cfg.update(max_iters=200, val_interval=200)
optim_wrapper.optimizer.update(lr=3e-4)
default_hooks.ema.update(momentum=2e-2)
default_hooks.checkpoint.update(interval=100)
