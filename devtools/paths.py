"""Where things are: the repository, and the one ignored folder everything else lives in."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / ".host"

APT = HOST / "apt"
BIN = HOST / "bin"
BROWSER = HOST / "chromium"
CONFIG = HOST / "odoo.conf"
DATA = HOST / "data"
FONTS_CONF = HOST / "fonts.conf"
LOGS = HOST / "logs"
NPM = HOST / "npm"
ODOO = HOST / "odoo"
PDF = HOST / "wkhtmltopdf"
POSTGRES = HOST / "pg"
RUN = HOST / "run"
SCREENSHOTS = HOST / "screenshots"
VENV = HOST / "venv"
VENV_PYTHON = VENV / "bin" / "python"

TEST_ADDONS = ROOT / "tests" / "addons"

REQUIREMENTS = ROOT / "requirements.txt"


def short(path: Path) -> str:
    """The path as a user of the repository would type it."""
    try:
        return str(path.relative_to(ROOT))
    except ValueError:
        return str(path)
