"""The Flower app: client, server and the messages between them."""
