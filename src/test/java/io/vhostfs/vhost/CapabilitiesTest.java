package io.vhostfs.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class CapabilitiesTest {
    @Test
    void capabilitiesAreThoseOfAFileSystem() {
        assertEquals("{\"type\":\"fs\",\"features\":[]}", Capabilities.json().replaceAll("\\s", ""));
    }

    @Test
    void theDescriptionForManagementSoftwareIsThatOfAFileSystemAndNamesItsProgram() throws IOException {
        String description = Files.readString(Path.of("bin/50-vhostfs.json"));
        assertEquals(
                "{\"description\":\"vhostfs:polledvhost-user-fstarget\",\"type\":\"fs\","
                        + "\"binary\":\"/usr/libexec/vhost-user-vhostfs\"}",
                description.replaceAll("\\s", ""));
    }
}
