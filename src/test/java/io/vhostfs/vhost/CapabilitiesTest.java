package io.vhostfs.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class CapabilitiesTest {
    @Test
    void capabilitiesAreThoseOfAFileSystem() {
        assertEquals("{\"type\":\"fs\",\"features\":[]}", Capabilities.json().replaceAll("\\s", ""));
    }

    @Test
    void theDescriptionNamesTheProgram() {
        String description = Capabilities.description(Path.of("/opt/a \"b\" \\c/vhostfs"));
        assertEquals(
                "{\"description\":\"vhostfsvhost-user-fs\",\"type\":\"fs\","
                        + "\"binary\":\"/opt/a\\\"b\\\"\\\\c/vhostfs\"}",
                description.replaceAll("\\s", ""));
    }
}
