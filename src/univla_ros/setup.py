from pathlib import Path

from setuptools import find_packages
from setuptools import setup

package_name = 'univla_ros'
share = f'share/{package_name}'
nodes = ('policy', 'decoder', 'controller', 'monitor', 'recorder', 'sim')


def installed(folder: str, pattern: str) -> list[tuple[str, list[str]]]:
    """Data files of a top-level folder of the repository, sub-folders kept."""
    root = Path('../..')
    found: dict[str, list[str]] = {}
    for path in sorted((root / folder).rglob(pattern)):
        if path.is_file():
            target = f'{share}/{path.parent.relative_to(root).as_posix()}'
            found.setdefault(target, []).append(path.as_posix())
    return list(found.items())


setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(exclude=['test']),
    package_data={'': ['py.typed', '**/*.json', '**/*.yaml', '**/*.xml']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (share, ['package.xml']),
        *installed('launch', '*.launch.py'),
        *installed('config', '*'),
    ],
    install_requires=['setuptools'],
    zip_safe=False,
    maintainer='univla_ros maintainers',
    maintainer_email='maintainers@univla-ros.invalid',
    description='ROS 2 nodes, message conversion, launch files and the command line.',
    license='Apache-2.0',
    extras_require={'test': ['pytest']},
    entry_points={
        'console_scripts': [
            'univla = univla_ros.cli:main',
            *(f'{node}_node = univla_ros.nodes.{node}_node:main' for node in nodes),
            'teleop_keyboard = univla_ros.teleop.keyboard:main',
            'leader_arm = univla_ros.teleop.leader_arm:main',
        ],
    },
)
