"""Every package declares the same facts, and imports only go down the dependency table."""

from __future__ import annotations

import ast
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / 'src'
MANIFESTS = sorted(SOURCE.glob('*/package.xml'))

MESSAGES = {
    *(path.name for path in (ROOT / 'extra').iterdir() if path.is_dir()),
    *('action_msgs', 'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs', 'lifecycle_msgs'),
    *('nav_msgs', 'rcl_interfaces', 'rosgraph_msgs', 'sensor_msgs', 'std_msgs', 'std_srvs'),
    *('trajectory_msgs', 'unique_identifier_msgs', 'visualization_msgs', 'univla_msgs'),
}
TORCH = {'torch', 'safetensors', 'transformers', 'tokenizers', 'huggingface_hub'}
# What the modules of each package may import beside the standard library and themselves.
ALLOWED = {
    'univla_core': {'numpy', 'yaml'},
    'univla_models': {'numpy', 'yaml', 'PIL', 'univla_core', *TORCH},
    'univla_decoders': {'numpy', 'yaml', 'torch', 'safetensors', 'univla_core'},
    'univla_control': {'numpy', 'yaml', 'ruckig', 'univla_core'},
    'univla_sim': {'numpy', 'yaml', 'mujoco', 'univla_core'},
    'univla_data': {'numpy', 'cv2', 'rosbags', 'av', 'pyarrow', 'h5py', 'univla_core'},
    'univla_training': {
        *('numpy', 'yaml', 'cv2', 'matplotlib', 'rich', 'typer', 'accelerate', *TORCH),
        *('univla_core', 'univla_data', 'univla_decoders', 'univla_models', 'univla_sim'),
    },
    'univla_ros': {
        *('numpy', 'yaml', 'cv2', 'PIL', 'av', 'matplotlib', 'typer', 'click', 'rich', 'torch'),
        *('rclpy', 'rpyutils', 'ament_index_python', 'launch', 'launch_ros', 'rosbag2_py'),
        *('cv_bridge', 'tf2_ros'),
        *('univla_core', 'univla_models', 'univla_decoders', 'univla_control', 'univla_data'),
        'univla_sim',
        *MESSAGES,
    },
}
PYTHON_PACKAGES = sorted(path.parent.name for path in SOURCE.glob('*/setup.py'))


def imported_packages(path: Path) -> set[str]:
    """Top-level names that a module imports, wherever in the module that happens."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split('.')[0])
    return names


def setup_keyword(package: str, keyword: str) -> object:
    """A literal keyword of the `setup()` call in a package's setup.py."""
    tree = ast.parse((SOURCE / package / 'setup.py').read_text())
    call = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup'
    )
    return next(ast.literal_eval(k.value) for k in call.keywords if k.arg == keyword)


def test_every_package_has_a_row_in_the_table():
    assert set(PYTHON_PACKAGES) == set(ALLOWED)


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_imports_go_down_the_table(package):
    allowed = ALLOWED[package] | sys.stdlib_module_names | {package}
    strangers = {
        f'{path.relative_to(SOURCE)}: {name}'
        for path in (SOURCE / package / package).rglob('*.py')
        for name in imported_packages(path) - allowed
    }
    assert not strangers


def test_the_walk_sees_imports_inside_functions(tmp_path):
    """A lazy import is as much a dependency as one at the top."""
    module = tmp_path / 'module.py'
    module.write_text('def f():\n    from rclpy.node import Node\n    import torch.nn as nn\n')
    assert imported_packages(module) == {'rclpy', 'torch'}


def facts(manifest: Path) -> tuple[str, str, str, str]:
    """Version, licence, maintainer and address in a package.xml."""
    root = ElementTree.parse(manifest).getroot()
    maintainer = root.find('maintainer')
    return (
        root.findtext('version'),
        root.findtext('license'),
        maintainer.text,
        maintainer.get('email'),
    )


def test_packages_agree_on_version_licence_and_maintainer():
    assert len({facts(manifest) for manifest in MANIFESTS}) == 1
    assert facts(MANIFESTS[0])[1] == 'Apache-2.0'
    assert 'Apache License' in (ROOT / 'LICENSE').read_text()


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_setup_repeats_the_manifest(package):
    manifest = ElementTree.parse(SOURCE / package / 'package.xml').getroot()
    version, licence, maintainer, email = facts(SOURCE / package / 'package.xml')
    assert setup_keyword(package, 'version') == version
    assert setup_keyword(package, 'license') == licence
    assert setup_keyword(package, 'maintainer') == maintainer
    assert setup_keyword(package, 'maintainer_email') == email
    assert setup_keyword(package, 'description') == manifest.findtext('description')
    assert manifest.findtext('name') == package
    # colcon runs pytest only for packages that say so here; tests_require is ignored.
    assert setup_keyword(package, 'extras_require') == {'test': ['pytest']}


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_manifest_names_every_package_of_ours_that_is_imported(package):
    manifest = ElementTree.parse(SOURCE / package / 'package.xml').getroot()
    declared = {node.text for node in manifest.iter('exec_depend')}
    imported = set()
    for path in (SOURCE / package / package).rglob('*.py'):
        imported |= imported_packages(path)
    ours = {*PYTHON_PACKAGES, 'univla_msgs', 'rclpy'} - {package}
    assert imported & ours <= declared


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_package_is_on_the_ament_index(package):
    assert (SOURCE / package / 'resource' / package).is_file()
    assert re.search(rf'lib/{package}\b', (SOURCE / package / 'setup.cfg').read_text())


def installed_share() -> Path:
    """The share folder of the `univla_ros` that this environment runs."""
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        if prefix and Path(prefix, 'share', 'univla_ros', 'package.xml').exists():
            return Path(prefix, 'share', 'univla_ros')
    pytest.skip('univla_ros is not built in this environment')


@pytest.mark.parametrize('folder, pattern', [('launch', '*.launch.py'), ('config', '*')])
def test_launch_and_config_files_are_installed(folder, pattern):
    share = installed_share()
    files = [path for path in (ROOT / folder).rglob(pattern) if path.is_file()]
    assert files
    missing = [
        str(path.relative_to(ROOT))
        for path in files
        if not (share / path.relative_to(ROOT)).is_file()
    ]
    assert not missing, 'build again'
