"""What these tests need: components that workers find, and no `.env`."""

from tests.support.spread_fixtures import empty_directory as empty_directory
from tests.support.spread_fixtures import spread_plugins as spread_plugins
