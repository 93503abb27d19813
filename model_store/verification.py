"""Check everything a bundle claims, as before it is promoted."""

from dataclasses import dataclass

from model_store.bundle import Bundle, open_checked, probe_pixels
from model_store.errors import EngineUnavailable
from model_store.manifest import EngineName


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle was found to be able to do on this host."""

    engines: tuple[EngineName, ...]
    unavailable: dict[EngineName, str]  # engine -> why it cannot run here


def verify(bundle: Bundle) -> Verified:
    """Hash every file, replay the probes on every engine that runs here.

    Raises:
        BundleError: a file, a pixel, a probability is not what it was when it was published.
        EngineUnavailable: none of its engines runs here, so nothing could be checked.
    """
    bundle.verify_files()
    pixels = probe_pixels(bundle)
    working: list[EngineName] = []
    unavailable: dict[EngineName, str] = {}
    for name in bundle.manifest.engines:
        try:
            open_checked(bundle, name, threads=None, pixels=pixels).close()
        except EngineUnavailable as error:
            unavailable[name] = str(error)
        else:
            working.append(name)
    if not working:
        raise EngineUnavailable("; ".join(unavailable.values()))
    return Verified(tuple(working), unavailable)
