import subprocess
import sys

from harness.processes import call_here


def test_without_a_command_the_help_is_shown():
    done = call_here("geolrm")
    assert done.returncode == 2 and "Example: geolrm run" in " ".join(done.stdout.split())


def test_the_version_is_one_line():
    import importlib.metadata

    done = call_here("geolrm", "--version")
    assert done.stdout == f"geolrm {importlib.metadata.version('geolrm')}\n"


def test_commands_are_registered_without_heavy_imports():
    code = (
        "import sys\nfrom geolrm.commands.main import register\nregister()\n"
        "print(*sorted({'torch', 'numpy', 'onnxruntime', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout and "onnxruntime" not in done.stdout


def test_the_help_of_run_names_photographs_and_what_removes_backgrounds():
    done = call_here("geolrm", "run", "--help")
    words = " ".join(done.stdout.replace("│", " ").split())
    assert "A folder of photographs or a video, whose poses are found; or transforms.json" in words
    assert "with rembg" in words
