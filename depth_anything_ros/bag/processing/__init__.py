"""What processing a bag is made of; `bag.process` puts it together."""
