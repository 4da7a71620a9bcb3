"""Registration by hand, for those who are used to it."""

from importlib import import_module

from mmengine.registry import DefaultScope

_ROOMS = ('diffusion', 'models', 'datasets', 'evaluation', 'engine', 'visualization')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import everything that registers itself.

    Not needed: the registries know where to look. It exists because every tutorial of
    the sister toolboxes begins with it.

    Args:
        init_default_scope: make 'mmadm' the scope in which short names are looked up.
    """
    for room in _ROOMS:
        import_module(f'mmadm.{room}')
    if init_default_scope:
        DefaultScope.get_instance('mmadm', scope_name='mmadm')
