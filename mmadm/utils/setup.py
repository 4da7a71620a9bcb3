"""Registration of all modules by hand."""

from importlib import import_module

from mmengine.registry import DefaultScope

_MODULES = ('diffusion', 'models', 'datasets', 'evaluation', 'engine', 'visualization')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import all modules with registered classes.

    This is not necessary, since the registries import what they need. Tutorials of
    OpenMMLab begin with this call, so it exists here, too.

    Args:
        init_default_scope: make 'mmadm' the scope of short names.
    """
    for module in _MODULES:
        import_module(f'mmadm.{module}')
    if init_default_scope:
        DefaultScope.get_instance('mmadm', scope_name='mmadm')
