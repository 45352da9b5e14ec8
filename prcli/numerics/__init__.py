"""Arrays in, arrays out: Hessians in square-root form, rigidities, selection."""
