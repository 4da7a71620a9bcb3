# Common parts of the authors' recipes for image-conditioned tasks: their scaling, l1
# and l2 together, sums and the reconstruction term in the loss, deterministic sampling.
# Configs put these parts into their model and delete the name.
from mmadm.diffusion import ADMSampler, Preconditioner, UniformGrid
from mmadm.models import AuthorsLoss

authors = dict(
    preconditioner=dict(type=Preconditioner, scaling='conditional'),
    loss=dict(
        type=AuthorsLoss, distance='l1_l2', reduction='sum', reconstruction='log'
    ),
    sampler=dict(
        type=ADMSampler,
        num_steps=10,
        eta=0.0,
        correct=False,
        grid=dict(type=UniformGrid),
    ),
)
