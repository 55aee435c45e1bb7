"""Writers of models in the formats that are shipped."""
