"""The Flower app: clients that keep their patients, a server that averages."""
