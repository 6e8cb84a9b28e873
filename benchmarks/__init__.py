"""Measurements that README and notebook quote; each module is a command,
``python -m benchmarks.NAME``."""
