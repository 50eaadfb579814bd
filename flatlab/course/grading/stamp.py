"""A new gradebook's version, written without nbgrader's command on the path."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory
from nbgrader.dbutil import ALEMBIC_DIR
from sqlalchemy import create_engine, inspect, text


def stamp(address: str) -> None:
    """Write the schema's version first, from nbgrader's own scripts.

    nbgrader writes it last, into a database that had no table at all, by a command that has to be on
    the path.
    """
    engine = create_engine(address)
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table("alembic_version"):
                columns = "version_num VARCHAR(32) NOT NULL"
                connection.execute(text(f"CREATE TABLE alembic_version ({columns})"))
            if connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 0:
                config = Config()
                config.set_main_option("script_location", ALEMBIC_DIR)
                version = ScriptDirectory.from_config(config).get_current_head()
                insert = text("INSERT INTO alembic_version (version_num) VALUES (:version)")
                connection.execute(insert, {"version": version})
    finally:
        engine.dispose()
