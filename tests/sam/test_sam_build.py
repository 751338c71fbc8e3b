"""What `make build` makes of the layer is what Lambda can run at once."""

from __future__ import annotations

import struct

import pytest
import yaml

pytestmark = pytest.mark.container

MACHINES = {"x86_64": 62, "arm64": 183}  # e_machine in an ELF header
CHECKED_BY_NOTHING = 0b01  # PEP 552: hash-based, and the hash is not compared with the source


@pytest.fixture(scope="module")
def layer(root):
    return root / ".aws-sam" / "build" / "GatehouseLayer" / "python"


@pytest.fixture(scope="module")
def built(root):
    """The built template; it has no short tags left."""
    return yaml.safe_load((root / ".aws-sam" / "build" / "template.yaml").read_text(encoding="utf-8"))


def test_every_module_has_its_bytecode_beside_it(layer):
    modules = [file for file in layer.rglob("*.py") if "__pycache__" not in file.parts]
    missing = [file for file in modules if not (file.parent / "__pycache__" / f"{file.stem}.cpython-313.pyc").exists()]
    assert len(modules) > 300
    assert missing == []


@pytest.mark.parametrize(
    "package",
    ["gatehouse", "fastapi", "mangum", "aiohttp", "voluptuous", "cryptography", "argon2", "uvicorn", "httptools"],
)
def test_a_package_is_there_with_bytecode(layer, package):
    assert (layer / package / "__pycache__" / "__init__.cpython-313.pyc").exists()


def test_the_command_line_stays_at_home(layer):
    assert not (layer / "gatehouse" / "cli").exists()
    assert not (layer / "gatehouse" / "__main__.py").exists()


def test_bytecode_is_used_whatever_time_the_archive_gives_the_source(layer):
    flags = {struct.unpack_from("<I", file.read_bytes(), 4)[0] for file in layer.rglob("*.pyc")}
    assert flags == {CHECKED_BY_NOTHING}


def test_bytecode_of_no_other_python_is_there(layer):
    assert {file.name.split(".")[-2] for file in layer.rglob("*.pyc")} == {"cpython-313"}


@pytest.mark.parametrize("package", ["boto3", "botocore", "s3transfer", "urllib3", "moto", "uvloop", "pip", "bin"])
def test_what_the_runtime_carries_or_nobody_needs_is_not_there(layer, package):
    assert not (layer / package).exists()


def test_compiled_libraries_are_for_the_processor_that_was_asked_for(layer, built):
    machine = MACHINES[built["Resources"]["GatehouseLayer"]["Metadata"]["BuildArchitecture"]]
    libraries = list(layer.rglob("*.so"))
    assert libraries
    assert {struct.unpack_from("<H", file.read_bytes(), 18)[0] for file in libraries} == {machine}


def test_the_layer_fits_into_lambda_with_room_to_spare(layer):
    size = sum(file.stat().st_size for file in layer.rglob("*") if file.is_file())
    assert size < 60 * 1024 * 1024  # of 250 MB for all layers and the function


@pytest.mark.parametrize("name", ["Login", "Guest", "Tokens", "Proxy", "Stream", "Status"])
def test_a_function_is_built_with_its_own_code_only(root, name, built):
    folder = root / ".aws-sam" / "build" / built["Resources"][f"{name}Function"]["Properties"]["CodeUri"]
    source = {"Stream": "proxy"}.get(name, name.lower())
    assert {file.name for file in folder.glob("*.py")} == {
        file.name for file in (root / "functions" / source).glob("*.py")
    }
    assert not (folder / "fastapi").exists()


def test_the_stream_functions_start_may_be_run(root, built):
    """Lambda runs it as a command: without the bit the function does not start."""
    folder = root / ".aws-sam" / "build" / built["Resources"]["StreamFunction"]["Properties"]["CodeUri"]
    assert (folder / "start").stat().st_mode & 0o111 == 0o111
