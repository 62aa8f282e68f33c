  (@custom "harness:tools" "[{\"name\":\"attack\",\"description\":\"One case.\",\"category\":\"other\",\"parameters\":{\"type\":\"object\"}}]")
