"""Networks; every module maps jets to jets (`aiv_rba.jets`)."""
