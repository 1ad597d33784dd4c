from setuptools import find_packages
from setuptools import setup

package_name = 'univla_training'

setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(exclude=['test']),
    package_data={'': ['py.typed', '**/*.json', '**/*.yaml', '**/*.xml']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (f'share/{package_name}', ['package.xml']),
    ],
    install_requires=['setuptools'],
    zip_safe=False,
    maintainer='univla_ros maintainers',
    maintainer_email='maintainers@univla-ros.invalid',
    description='Training of latent action models, policies and decoders.',
    license='Apache-2.0',
    extras_require={'test': ['pytest']},
    entry_points={
        'univla.commands': [
            'train = univla_training.cli:train',
            'analyse = univla_training.code_use_cli:analyse',
        ]
    },
)
