"""The words that both ends of a connection speak: components, sessions and errors as JSON, and the client."""
