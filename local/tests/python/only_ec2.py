"""pycloudlib imports the SDKs of all the clouds it knows, of some 900 MB, before it does anything at EC2. This stands in for those of the
others, which nothing here calls; where they are installed, they are taken.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

OTHERS = ["SoftLayer", "azure", "google", "ibm_cloud_sdk_core", "ibm_platform_services", "ibm_vpc", "knack", "oci", "openstack", "qemu"]


class AnyClass(type):
    """A class that has every name, too."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return AnyClass(name, (Exception,), {})


class Anything(types.ModuleType):
    """A module that has every name, each of them a class of exceptions, which may be caught and derived from."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, AnyClass(name, (Exception,), {}))
        return getattr(self, name)


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in OTHERS:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Anything(spec.name)

    def exec_module(self, module):
        pass


# The last one that is asked: what is installed is found before.
sys.meta_path.append(StandIn())
