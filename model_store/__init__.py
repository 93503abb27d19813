"""The contract between training and serving: specs, bundles, versions and engines."""
