package supervisor

// warn notes a warning for the container's creator.
func (s *supervisor) warn(text string) { s.notes = append(s.notes, text) }
