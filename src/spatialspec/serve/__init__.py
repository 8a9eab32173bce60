"""The server: images of many clients in the passes of one session, the OpenAI images API, and a page to watch them."""
