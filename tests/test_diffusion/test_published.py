"""The scalings of published networks; their numbers are held by the golden tests."""

import pytest
import torch

from mmadm.diffusion import (
    ADMProcess,
    LinearAttenuation,
    PublishedImagePreconditioner,
    PublishedPreconditioner,
)


@pytest.mark.parametrize('version', ['ddm_public', 'conditional', 'diffusion_edge'])
def test_at_time_one_the_noise_is_the_input_and_the_image_the_networks(version):
    c = PublishedPreconditioner(version).coefficients(ADMProcess(), torch.ones(1))
    assert (c.phi_skip.item(), c.eps_skip.item(), c.eps_out.item()) == (0, 1, 0)
    assert c.phi_out.item() == pytest.approx(0.5**0.5)


def test_one_decoder_gives_parts_that_add_up_to_the_input():
    process = ADMProcess()
    x_t, t = torch.randn(2, 3, 4, 4), torch.tensor([0.2, 0.9])
    preconditioner = PublishedImagePreconditioner('conditional')
    phi, eps = preconditioner(lambda x, c_noise: (x.tanh(),), process, x_t, t)
    torch.testing.assert_close(process.diffuse(-phi, phi, eps, t), x_t)
    c = preconditioner.coefficients(process, t)
    skip, out = (value.float().view(2, 1, 1, 1) for value in (c.phi_skip, c.phi_out))
    torch.testing.assert_close(phi, skip * x_t + out * x_t.tanh())


def test_unknown_versions_are_refused():
    with pytest.raises(ValueError, match=r"version='adm'.*'conditional', 'ddm_public'"):
        PublishedPreconditioner('adm')


def test_attenuations_with_more_parameters_are_refused():
    process = ADMProcess(attenuation=dict(type=LinearAttenuation))
    with pytest.raises(ValueError, match=r'one .*LinearAttenuation has 2\. Use Const'):
        PublishedPreconditioner('conditional').coefficients(process, torch.ones(1))
