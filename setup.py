"""Where does an installed module come from? `isograd` is the folder harness, and the other folders are inside it."""

from setuptools import find_packages, setup

FOLDERS = {"isograd": "harness", "isograd.backends": "backends", "isograd.scenarios": "scenarios"}

setup(
    package_dir=FOLDERS,
    packages=[
        package
        for name, folder in FOLDERS.items()
        for package in (name, *(f"{name}.{inner}" for inner in find_packages(folder)))
    ],
)
