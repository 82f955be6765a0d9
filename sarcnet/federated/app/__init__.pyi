from .client_app import make_client_app as make_client_app
from .ledger import list_contents as list_contents
from .ledger import traffic as traffic
from .local_training import train as train
from .server_app import Server as Server
