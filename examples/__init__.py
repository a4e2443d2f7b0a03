"""Small numbered examples, and real captures to run them on."""

from pathlib import Path

CAPTURES = Path(__file__).parent / "captures"


def capture_path(name: str) -> Path:
    """Folder of a bundled capture: ``shoe``, ``banana`` or ``lion``."""
    return CAPTURES / name
