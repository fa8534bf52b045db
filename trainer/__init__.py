"""From labelled images to a model bundle: recipes, data, loop, evaluation, export."""
