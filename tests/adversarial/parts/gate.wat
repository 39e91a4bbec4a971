  ;; A gate without its function.
  ;; include: about
  ;; include: gate-data
