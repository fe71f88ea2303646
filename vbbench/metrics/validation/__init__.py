"""Every metric over damage of known size, and over real videos."""
