"""The person: arguments, printing, progress. The one edge that joins the others."""
