"""One model call: its slot, rate limit, retries, budget and price."""
