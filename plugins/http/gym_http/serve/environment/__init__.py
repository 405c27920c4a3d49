"""A resource server over HTTP: its sessions, and the routes of gym and of NeMo Gym to them."""
