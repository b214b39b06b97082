"""Many small requests -> few engine calls: dynamic batching.

server.py takes requests, line.py makes batches of them, promise.py is one request and its answer.
"""

from .server import BatchServer, Run, Served

__all__ = ["BatchServer", "Run", "Served"]
