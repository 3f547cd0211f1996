"""Where market events come from: a venue, a recorded file, or a seeded invented market."""
