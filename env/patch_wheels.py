"""Fit the ROS wheels of the running environment to this machine.

The wheels carry absolute paths of the machine that built them in their CMake and index files, and
lack the setup files that an ament prefix has. Safe to run again, also after numpy has changed.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy
from ament_package import templates

PREFIX = Path(sys.prefix)
LARGEST = 2_000_000  # bytes; larger files hold no paths


def patched(path: Path, text: str) -> str:
    """The text of one file with this machine's paths in it."""
    version = f'{sys.version_info[0]}.{sys.version_info[1]}'
    tag = version.replace('.', '')
    builder = f'/opt/python/cp{tag}-cp{tag}'
    include = numpy.get_include()
    text = text.replace(
        f'{builder}/lib/python{version}/site-packages/numpy/_core/include', include
    )
    text = text.replace(f'{builder}/include/python{version}', sysconfig.get_path('include'))
    text = re.sub(r'/project/build/temp[^"\s;]*/install', lambda _: str(PREFIX), text)
    if path.parent.name == 'parent_prefix_path':
        text = text.replace(builder, '{prefix}')
    if path.name.endswith('rosidl_generator_pyExport.cmake'):
        text = re.sub(r'[^";]*/numpy/(?:_core|core)/include', lambda _: include, text)
    return text


def patch_share() -> int:
    """Rewrite the files below share/ that name the builder's paths; returns how many."""
    count = 0
    for path in (PREFIX / 'share').rglob('*'):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        try:
            old = path.read_text()
        except UnicodeDecodeError:
            continue
        new = patched(path, old)
        if new != old:
            path.write_text(new)
            count += 1
    return count


def write_prefix_scripts() -> None:
    """Write the setup files of an ament prefix from the templates of ament_package."""
    values = {
        'CMAKE_INSTALL_PREFIX': str(PREFIX),
        'ament_package_PYTHON_EXECUTABLE': sys.executable,
        'SKIP_PARENT_PREFIX_PATH': '1',
    }
    for name in templates.get_prefix_level_template_names():
        source = Path(templates.get_prefix_level_template_path(name))
        if source.suffix == '.in':
            (PREFIX / source.stem).write_text(templates.configure_file(str(source), values))
        else:
            (PREFIX / name).write_text(source.read_text())


if __name__ == '__main__':
    print(f'patched {patch_share()} files')
    write_prefix_scripts()
