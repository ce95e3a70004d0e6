"""Serves the rows of a lake's Delta tables with BrickHouse, an emulator of a Databricks workspace, until standard input ends.

BrickHouse does not support column comments, so it gets copies of the tables without them.

brickhouse_serves.py LAKE: prints one line of JSON, {"url", "warehouse_id", "catalog", "schema"}, when it is ready.
"""

import json
import sys
import tempfile
import threading
from pathlib import Path

import pyarrow
from brickhouse.diagnostic_server import create_diagnostic_server
from brickhouse.workspace.context import WorkspaceContext
from brickhouse.workspace.lifecycle import initialize_workspace
from deltalake import DeltaTable, write_deltalake


def copied(table, target):
    """Writes a copy of a table without column comments. Returns its path."""
    rows = DeltaTable(table).to_pyarrow_table()
    plain = pyarrow.schema([pyarrow.field(field.name, field.type) for field in rows.schema])
    write_deltalake(target, pyarrow.Table.from_arrays(rows.columns, schema=plain))
    return target


def main():
    lake = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        initialize_workspace(Path(folder) / "workspace")
        with WorkspaceContext.local(Path(folder) / "workspace") as context:
            config = context.workspace.config
            place = (config.default_catalog, config.default_schema)
            for table in sorted(path.parent for path in lake.glob("*/_delta_log")):
                context.tables.register_external(*place, table.name, copied(table, Path(folder) / table.name))
            server = create_diagnostic_server(context, "127.0.0.1", 0)
            warehouse = context.compute.warehouses.create(
                {"name": "test", "cluster_size": "2X-Small", "warehouse_type": "PRO"}
            )
            serving = threading.Thread(target=server.serve_forever, daemon=True)
            serving.start()
            url = f"http://127.0.0.1:{server.server_address[1]}"
            ready = {"url": url, "warehouse_id": warehouse.warehouse_id, "catalog": place[0], "schema": place[1]}
            print(json.dumps(ready), flush=True)
            sys.stdin.read()
            server.shutdown()
            serving.join()
            server.server_close()


if __name__ == "__main__":
    main()
