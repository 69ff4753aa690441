"""Registers the suite's plugin; no logic."""

import pytest

# Before the plugin is imported: plain asserts in fixtures/ then explain themselves as they do in tests.
pytest.register_assert_rewrite("fixtures")
pytest_plugins = ["fixtures.plugin"]
