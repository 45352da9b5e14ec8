"""From structures to features: what describes atoms, behind one interface."""
