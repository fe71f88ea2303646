"""The paper's claims, held against scores."""
