"""Registers the suite's plugins; no logic."""

import pytest

# Before the plugins are imported: plain asserts in fixtures/ then explain themselves as they do in tests.
pytest.register_assert_rewrite("fixtures")
pytest_plugins = ["fixtures.run.plugin"]
