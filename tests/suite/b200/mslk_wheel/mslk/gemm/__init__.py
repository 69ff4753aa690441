"""Of the C++ library, as Python sees it."""
