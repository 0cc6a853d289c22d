"""Testing with databases: one transaction per test, one database per worker, factories, and counting of statements.

Needs `quintet[db]`. Everything here works without pytest; the fixtures are in `quintet.testing.pytest_plugin`.
"""

from quintet.db.queries.repeats import RepeatedQuery, allow_n_plus_one
from quintet.testing.db.counting import assert_max_queries, assert_queries, capture_queries
from quintet.testing.db.databases import rolled_back
from quintet.testing.db.factories import CannotMake, Factory, build, make, make_many

__all__ = [
    "CannotMake",
    "Factory",
    "RepeatedQuery",
    "allow_n_plus_one",
    "assert_max_queries",
    "assert_queries",
    "build",
    "capture_queries",
    "make",
    "make_many",
    "rolled_back",
]
