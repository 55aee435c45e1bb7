"""archfront as a service: an HTTP API and a page over the studies of one folder."""
