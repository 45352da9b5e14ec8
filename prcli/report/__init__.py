"""What people look at: figures, drawn with the extra ``prcli[report]``."""
