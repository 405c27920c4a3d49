"""Components of gym over HTTP: served (`serve`), used (`remote`), and what both sides know (`protocol`)."""
